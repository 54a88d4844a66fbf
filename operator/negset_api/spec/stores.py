"""How a store is reached whose URLs begin in a certain way."""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import Meta

from negset_api import patterns
from negset_api.spec.fields import MAX_URL, ObjectName, Spec, rules

MAX_STORES = 16


class StoreAccess(Spec, frozen=True, kw_only=True):
    """The options for URLs with a prefix. What is not given comes from the jobs' variables."""

    prefix: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=MAX_URL,
            pattern=patterns.STORE_URL,
            description="The beginning of the URLs that these options are for, such as s3://public-bucket/. "
            "It ends at a slash or at the end of a name. The longest prefix of a URL counts.",
        ),
    ]
    anonymous: Annotated[bool, Meta(description="If true, requests are not signed, as for a public bucket.")] = False
    requester_pays: Annotated[bool, Meta(description="If true, you pay for the requests and the traffic. S3 only.")] = False
    endpoint_url: Annotated[
        Annotated[str, Meta(max_length=MAX_URL, pattern=patterns.SERVER_URL)] | None,
        Meta(
            description="URL of the server, for S3 and Google Cloud Storage. "
            "For AWS's own, if another endpoint is set for the output, write https://s3.REGION.amazonaws.com."
        ),
    ] = None
    region: Annotated[
        Annotated[str, Meta(max_length=64, pattern=patterns.REGION)] | None, Meta(description="Region of the bucket. S3 only.")
    ] = None
    secret_name: Annotated[
        ObjectName | None,
        Meta(
            description="Name of a Secret in the same namespace, with keys such as AWS_ACCESS_KEY_ID, AZURE_STORAGE_ACCOUNT_KEY "
            "or GOOGLE_SERVICE_ACCOUNT_KEY. On a laptop, the variables NEGSET_NAME_KEY take its place, with NAME in capitals and "
            "an underscore for any other character, such as NEGSET_PARTNER_S3_AWS_ACCESS_KEY_ID for partner-s3."
        ),
    ] = None


def secret_prefix(secret: str) -> str:
    """Return what the variables of a Secret start with: NEGSET_PARTNER_S3_ for partner-s3."""
    return f"NEGSET_{re.sub('[^A-Z0-9]', '_', secret.upper())}_"


_SAME = "one.secretName == other.secretName"
_DISTINCT = "one.secretName.replace('.', '-') != other.secretName.replace('.', '-')"
SECRETS_RULES = rules(
    (
        f"self.all(one, !has(one.secretName) || self.all(other, !has(other.secretName) || {_SAME} || {_DISTINCT}))",
        "must not name two Secrets that differ only in '.' and '-', such as a.b and a-b: their variables have the same names; rename one of them",
    )
)
"""For all stores together: `secret_prefix` must be different for different Secrets."""

STORE_RULES = rules(
    ("!(has(self.anonymous) && self.anonymous && has(self.secretName))", "must not have both anonymous and secretName"),
    (
        "self.prefix.startsWith('s3') || !(has(self.region) || (has(self.requesterPays) && self.requesterPays))",
        "region and requesterPays must come only with a prefix of s3",
    ),
    (
        "!self.prefix.startsWith('a') || !has(self.endpointUrl)",
        "endpointUrl must not come with a prefix of Azure, whose URLs name the host",
    ),
)
