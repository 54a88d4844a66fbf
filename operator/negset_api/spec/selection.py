"""How many negatives are selected, and which."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from negset_api.spec.fields import MAX_ITEMS, ClassName, Spec, Url


class Selection(Spec, frozen=True, kw_only=True):
    count: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000_000,
            description="Number of negative images. "
            "A larger count with the same seed contains the smaller set, so that only the new images are downloaded.",
        ),
    ]
    seed: Annotated[
        int, Meta(ge=0, le=2**31 - 1, description="Decides which images are drawn. The same seed draws the same images everywhere.")
    ] = 0
    strategy: Annotated[
        Literal["Stratified", "Random"],
        Meta(
            description="How images are drawn. Stratified spreads them evenly over the classes that remain, so that rare classes are represented. "
            "Random gives every candidate the same chance."
        ),
    ] = "Stratified"
    unannotated: Annotated[
        Literal["Include", "Exclude"],
        Meta(
            description="Deprecated: use `minimumProof`. Exclude is the same as `minimumProof: ExhaustivelyAnnotated`. "
            "Include leaves the decision to `minimumProof`."
        ),
    ] = "Include"
    minimum_proof: Annotated[
        Literal["UserWord", "Unannotated", "ExhaustivelyAnnotated", "VerifiedAbsent"] | None,
        Meta(
            description="The weakest accepted proof that an image shows none of the excluded classes. From the weakest to the strongest: "
            "UserWord: nobody annotated the images, and you state that they show none. "
            "Unannotated: the image has no annotation, in a file that annotates other images. "
            "Choose a stronger proof if such an image may not have been annotated yet. "
            "ExhaustivelyAnnotated: the image has annotations, and none of an excluded class. "
            "VerifiedAbsent: a person looked for each excluded class in the image and did not find it (LVIS, Open Images). "
            "If absent, the value is UserWord for `source.images`, and else Unannotated. "
            "A file without a single annotation is accepted only with UserWord."
        ),
    ] = None
    allow_fewer: Annotated[bool, Meta(description="If fewer candidates than `count` exist, take all of them instead of failing.")] = False
    allow_classes: Annotated[
        tuple[ClassName, ...],
        Meta(
            max_length=MAX_ITEMS,
            description="Classes that negatives may show, spelled exactly as in the annotations. "
            "Needed for a class whose name is like that of an excluded class, or that is below an excluded supercategory.",
            extra_json_schema={"x-kubernetes-list-type": "set"},
        ),
    ] = ()
    exclude_images_of: Annotated[
        tuple[Url, ...],
        Meta(
            max_length=32,
            description="Annotation files whose images are never selected, such as those of your validation set. "
            "Images are the same if their names or URLs are, or if they have one id and no name contradicts it. "
            "Takes any URL that `source.coco.annotations` takes.",
            extra_json_schema={"x-kubernetes-list-type": "atomic"},
        ),
    ] = ()
    licenses: Annotated[
        tuple[Annotated[int, Meta(ge=0, le=2**53 - 1)], ...],
        Meta(
            max_length=MAX_ITEMS,
            description="Licence ids of the annotation file that are accepted. If empty, every licence is accepted.",
            extra_json_schema={"x-kubernetes-list-type": "set"},
        ),
    ] = ()
    min_side: Annotated[
        int,
        Meta(
            ge=0,
            le=100_000,
            description="Minimum length of the shorter side of an image, in pixels. Above 0, images of unknown size are left out.",
        ),
    ] = 0
