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
            description="URL of your own pipeline.config: any fsspec URL or, on a laptop, a path. "
            "If its content changes, change its name: completed steps do not notice the change."
        ),
    ] = None
    config_map: Annotated[
        ObjectName | None,
        Meta(
            description="Name of a ConfigMap in the same namespace. Its key pipeline.config holds your own configuration, at most 256 KiB. "
            "If the content changes, the dataset gets another revision, as after an edit of the spec."
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
            description="How the loss concentrates on negatives that the model gets wrong. Auto picks what works for the model. "
            "For SSD with softmax or sigmoid loss, that is the Object Detection API's hard example miner. "
            "For focal models it is the loss itself, for Faster R-CNN its sampler. "
            "Miner and LossFocus are refused for a model that they do not work with. "
            "Off leaves the loss of the configuration as it is."
        ),
    ] = "Auto"
    negatives_per_positive: Annotated[
        int,
        Meta(
            ge=1,
            le=1000,
            description="Maximum number of negative anchors that the miner keeps per matched anchor (max_negatives_per_positive).",
        ),
    ] = 3
    min_negatives_per_image: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="Minimum number of negative anchors that the miner keeps in each image (min_negatives_per_image). "
            "With 0, an image without objects would contribute no loss.",
        ),
    ] = 8
    rounds: Annotated[
        int,
        Meta(
            ge=1,
            le=10,
            description="Number of training rounds. "
            "After each round but the last, the negatives in the pool are scored with the model of the round. "
            "The hardest are added to what the next round trains on.",
        ),
    ] = 2
    first_round_percent: Annotated[
        Annotated[int, Meta(ge=1, le=100)],
        Meta(
            description="Percentage of the training negatives that round 1 trains on, drawn by `selection.seed`. "
            "The rest is the pool: negatives that the model has not seen. Mining searches the pool for hard negatives. "
            "100 leaves no pool: mining then searches the negatives that were trained on. With one round, all negatives are trained on."
        ),
    ] = 50
    hard_percent: Annotated[
        Annotated[int, Meta(ge=1, le=100)],
        Meta(
            description="Maximum percentage of the pool that one mining adds: the negatives with the highest scores. "
            "They stay in all later rounds."
        ),
    ] = 20
    review_above_percent: Annotated[
        Annotated[int, Meta(ge=1, le=100)],
        Meta(
            description="Score, in percent, from which a negative that was trained on may show the object. "
            "It is listed for review and not trained on again. 100 disables the review."
        ),
    ] = 90
    confirmed_negatives: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=256)], ...],
        Meta(
            max_length=4096,
            description="Ids of images that a person has reviewed and found to be true negatives, as report.json lists them under `review`. "
            "They are trained on and never listed again.",
            extra_json_schema={"x-kubernetes-list-type": "set"},
        ),
    ] = ()
    gpus_per_worker: Annotated[
        int,
        Meta(
            ge=0, le=64, description="Number of GPUs (`training.gpuResourceName`) of each pod that scores negatives. 0 scores on the CPU."
        ),
    ] = 0


class Training(Spec, frozen=True, kw_only=True):
    pipeline_config: Annotated[
        PipelineConfig, Meta(description="The model. Exactly one of preset, url and configMap.", extra_json_schema=_PIPELINE_RULES)
    ]
    steps: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000_000,
            description="Number of training steps of each round. One learning rate schedule spans the steps of all rounds.",
        ),
    ]
    batch_size: Annotated[
        Annotated[int, Meta(ge=1, le=4096)] | None,
        Meta(
            description="Images per step, over all workers. If absent, that of the configuration. "
            "The learning rate is scaled with it: linearly, or by the square root for Adam and RMSProp."
        ),
    ] = None
    seed: Annotated[int, Meta(ge=0, le=2**31 - 1, description="Seed of the weights and of the shuffling.")] = 0
    negative_percent: Annotated[
        Annotated[int, Meta(ge=1, le=90)], Meta(description="Percentage of negative images in each batch, on average.")
    ] = 10
    hard_negative_mining: Annotated[
        HardNegativeMining, Meta(description="How training concentrates on the negatives that the model gets wrong.")
    ] = field(default_factory=HardNegativeMining)
    comparisons: Annotated[
        tuple[Literal["NoNegatives", "RandomNegatives"], ...],
        Meta(
            max_length=2,
            description="Further models that the report compares with, trained with the same total steps, schedule and seed. "
            "NoNegatives trains without any negative. "
            "RandomNegatives trains with as many negatives as were mined, drawn from the pool at random.",
            extra_json_schema={"x-kubernetes-list-type": "set"},
        ),
    ] = ()
    held_out_percent: Annotated[
        Annotated[int, Meta(ge=1, le=90)],
        Meta(description="Percentage of the negatives that is never trained on. False positives are measured on them."),
    ] = 20
    recall_percent: Annotated[
        Annotated[int, Meta(ge=1, le=100)],
        Meta(
            description="Recall on held-out positives, in percent, at which false positives are counted. "
            "So all models are compared at the same sensitivity."
        ),
    ] = 80
    checkpoint_every_steps: Annotated[
        int, Meta(ge=1, le=10_000_000, description="Save a checkpoint every N steps. A lost pod repeats at most this many steps.")
    ] = 1000
    fine_tune_checkpoint: Annotated[
        OptionalUrl | None,
        Meta(
            description="URL of a checkpoint to start from: its prefix (…/checkpoint/ckpt-0), its folder, its .index file, or a .tar.gz archive as in the model zoo. "
            "The kind of checkpoint is read from the checkpoint. If the number of classes differs, the heads of the model start with random weights."
        ),
    ] = None
    gpus_per_worker: Annotated[
        int, Meta(ge=0, le=64, description="Number of GPUs (`gpuResourceName`) of each training pod. 0 trains on the CPU.")
    ] = 0
    gpu_resource_name: Annotated[
        GpuResourceName,
        Meta(
            description="Extended resource that pods for training and mining request as GPUs, such as nvidia.com/gpu, amd.com/gpu or nvidia.com/mig-1g.10gb. "
            "The trainer image must support it."
        ),
    ] = "nvidia.com/gpu"
    mixed_precision: Annotated[
        bool,
        Meta(
            description="Compute in 16 bits and keep the weights in 32: float16 with loss scaling on GPUs (compute capability 7.0 or more), bfloat16 on CPUs. "
            "It takes a third to a half less GPU memory, so that larger batches fit. Whether it is faster depends on the model and the GPU."
        ),
    ] = False
    workers: Annotated[
        int, Meta(ge=1, le=64, description="Number of training pods. Several pods train one model together (MultiWorkerMirroredStrategy).")
    ] = 1
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
