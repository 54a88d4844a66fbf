"""The parts of the spec that decide the models."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from negset_api.spec.fields import GpuResourceName, ObjectName, OptionalUrl, Spec, rules


class PipelineConfig(Spec, frozen=True, kw_only=True):
    preset: Annotated[
        Literal[
            "ssd-mobilenet-v2-320",
            "ssd-mobilenet-v2-fpnlite-320",
            "ssd-mobilenet-v2-tiny-96",
            "ssd-resnet50-fpn-640",
            "faster-rcnn-resnet50-640",
            "efficientdet-d0-512",
            "centernet-resnet50-v1-fpn-512",
        ]
        | None,
        Meta(description="A configuration that comes with negset."),
    ] = None
    url: Annotated[
        OptionalUrl | None,
        Meta(
            description="Your own pipeline.config: any fsspec URL or, on a laptop, a path. Changed content needs a new name: what is done with the old one stays."
        ),
    ] = None
    config_map: Annotated[
        ObjectName | None,
        Meta(
            description="A ConfigMap in the same namespace whose key pipeline.config holds your own configuration, at most 256 KiB. If its content changes, "
            "the dataset gets another revision, as after a change of the spec."
        ),
    ] = None


_PIPELINE_RULES = rules(
    (
        "[has(self.preset), has(self.url), has(self.configMap)].filter(given, given).size() == 1",
        "must have exactly one of preset, url and configMap",
    )
)


class HardNegativeMining(Spec, frozen=True, kw_only=True):
    mode: Annotated[
        Literal["Auto", "Miner", "LossFocus", "Off"],
        Meta(
            description="How the loss dwells on the negatives that fool the model. Auto picks what works for the model: the Object Detection API's hard example miner for SSD with softmax or sigmoid "
            "loss, the loss's own focus for focal models and Faster R-CNN's sampler. Off leaves the configuration's loss as it is."
        ),
    ] = "Auto"
    negatives_per_positive: Annotated[
        int, Meta(ge=1, le=1000, description="Negative anchors that the miner keeps per matched anchor (max_negatives_per_positive).")
    ] = 3
    min_negatives_per_image: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="Negative anchors that the miner keeps at least in each image (min_negatives_per_image). With 0 an image without objects would carry no loss at all.",
        ),
    ] = 8
    rounds: Annotated[
        int,
        Meta(
            ge=1,
            le=10,
            description="Training rounds. After each round but the last, the negatives in the pool are scored with the model of the round. The hardest are added to what the next round trains on.",
        ),
    ] = 2
    first_round_percent: Annotated[
        Annotated[int, Meta(ge=1, le=100)],
        Meta(
            description="Percentage of the training negatives that round 1 trains on, drawn by `selection.seed`. The rest is the pool: negatives that the model has not seen, where mining looks for "
            "hard ones. 100 leaves no pool; mining then looks at the negatives trained on. With one round all of them are trained on."
        ),
    ] = 50
    hard_percent: Annotated[
        Annotated[int, Meta(ge=1, le=100)],
        Meta(
            description="Percentage of the pool that one mining adds, at most: the negatives with the highest scores. They stay in all later rounds."
        ),
    ] = 20
    review_above_percent: Annotated[
        Annotated[int, Meta(ge=1, le=100)],
        Meta(
            description="A negative that the model was trained on and that still scores at least this (in percent) may well show the object: it is listed for review and not trained on again. "
            "100 suspend_changes the review off."
        ),
    ] = 90
    confirmed_negatives: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=256)], ...],
        Meta(
            max_length=4096,
            description="Ids of images that a person has looked at after a review and found to be true negatives, as report.json lists them under `review`. They are trained on and never listed again.",
            extra_json_schema={"x-kubernetes-list-type": "set"},
        ),
    ] = ()
    gpus_per_worker: Annotated[
        int, Meta(ge=0, le=64, description="GPUs (`training.gpuResourceName`) of each pod that scores negatives; 0 scores on the CPU.")
    ] = 0


class Training(Spec, frozen=True, kw_only=True):
    pipeline_config: Annotated[
        PipelineConfig, Meta(description="The model: exactly one of preset, url and configMap.", extra_json_schema=_PIPELINE_RULES)
    ]
    steps: Annotated[
        int,
        Meta(ge=1, le=10_000_000, description="Training steps of each round. One learning rate schedule spans the steps of all rounds."),
    ]
    batch_size: Annotated[
        Annotated[int, Meta(ge=1, le=4096)] | None,
        Meta(
            description="Images per step, over all workers. If absent, the configuration's. The learning rate is scaled with it: linearly, "
            "or by the square root for Adam and RMSProp."
        ),
    ] = None
    seed: Annotated[int, Meta(ge=0, le=2**31 - 1, description="Seeds the weights and the shuffling.")] = 0
    negative_percent: Annotated[
        Annotated[int, Meta(ge=1, le=90)], Meta(description="Percentage of each batch, on average, that is negative images.")
    ] = 10
    hard_negative_mining: Annotated[
        HardNegativeMining, Meta(description="How the model is made to dwell on the negatives that fool it.")
    ] = field(default_factory=HardNegativeMining)
    comparisons: Annotated[
        tuple[Literal["NoNegatives", "RandomNegatives"], ...],
        Meta(
            max_length=2,
            description="Further models to train with the same total steps, schedule and seed, for the report to compare with: NoNegatives without any negative, RandomNegatives with as many "
            "negatives as were mined, drawn from the pool at random.",
            extra_json_schema={"x-kubernetes-list-type": "set"},
        ),
    ] = ()
    held_out_percent: Annotated[
        Annotated[int, Meta(ge=1, le=90)],
        Meta(description="Percentage of the negatives that is never trained on and measures false positives."),
    ] = 20
    recall_percent: Annotated[
        Annotated[int, Meta(ge=1, le=100)],
        Meta(
            description="The recall on held-out positives, in percent, at which false positives are counted, so that models are compared at the same sensitivity."
        ),
    ] = 80
    checkpoint_every_steps: Annotated[
        int, Meta(ge=1, le=10_000_000, description="Steps between two checkpoints; what a lost pod loses at most.")
    ] = 1000
    fine_tune_checkpoint: Annotated[
        OptionalUrl | None,
        Meta(
            description="A checkpoint to start from: the URL of its prefix (…/checkpoint/ckpt-0), of its folder, of its .index file, or of a .tar.gz archive as the model zoo has them. "
            "What kind of checkpoint it is, is read from the checkpoint. With another number of classes the heads of the model start anew."
        ),
    ] = None
    gpus_per_worker: Annotated[
        int, Meta(ge=0, le=64, description="GPUs (`gpuResourceName`) of each training pod; 0 trains on the CPU.")
    ] = 0
    gpu_resource_name: Annotated[
        GpuResourceName,
        Meta(
            description="The Kubernetes resource that pods for training and mining request as GPUs: an extended resource such as nvidia.com/gpu, amd.com/gpu or "
            "nvidia.com/mig-1g.10gb. The trainer image must support it."
        ),
    ] = "nvidia.com/gpu"
    mixed_precision: Annotated[
        bool,
        Meta(
            description="Compute in 16 bits and keep the weights in 32: float16 with loss scaling on GPUs (compute capability 7.0 or more), "
            "bfloat16 on CPUs. Faster and smaller on such GPUs."
        ),
    ] = False
    workers: Annotated[int, Meta(ge=1, le=64, description="Training pods. More than one train together (MultiWorkerMirroredStrategy).")] = 1
    max_parallel: Annotated[
        int,
        Meta(
            ge=1,
            le=8,
            description="Maximum number of trainings and minings of this dataset that run at the same time. Each training takes workers x gpusPerWorker GPUs. "
            "A value above 1 has an effect only with `comparisons`: the rounds of one model never run at the same time.",
        ),
    ] = 1


_TRAINING_RULES = rules(
    (
        "!self.comparisons.exists(c, c == 'RandomNegatives') || self.hardNegativeMining.rounds > 1",
        "comparisons: RandomNegatives compares with mined negatives, so it needs hardNegativeMining.rounds of at least 2",
    ),
)
