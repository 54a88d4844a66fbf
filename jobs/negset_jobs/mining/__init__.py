"""Hard negative mining between training rounds: which negatives still fool the model, and which of
them a person should look at.
"""
