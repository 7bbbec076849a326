"""The training options that all models share."""

from __future__ import annotations

from dataclasses import dataclass

from ganzoo.interfaces.dataset import FITS
from ganzoo.interfaces.metric import MAX_IMAGES
from ganzoo.interfaces.options import Options, option


@dataclass(frozen=True)
class TrainOptions(Options):
    """Options of `ganzoo train` besides the model's own. A model can override the defaults."""

    data: str = option(
        "mnist",
        "data set: a name (see `ganzoo data list`), a folder, .zip, .lmdb, .tar, .parquet, .npy, .npz or IDX file",
        group="Training",
    )
    labels: str | None = option(
        None,
        "what to use as labels: 'folder', a column or other name that `ganzoo data check` lists, several numbers as in "
        "age,smiling, or 'none' [default: what the data set says]",
        group="Training",
    )
    kimg: float = option(1000.0, "length of training in thousands of real images", min=0.001, group="Training")
    batch: int = option(64, "images per update", min=1, group="Training")
    micro_batch: int | None = option(
        None, "images per forward pass; gradients are accumulated up to --batch", min=1, group="Training"
    )
    flip: bool | None = option(None, "mirror half of the images [default: what the data set allows]", group="Training")
    fit: str | None = option(
        None,
        "how images become square: crop uses the centre, pad the whole image on white, stretch distorts it "
        "[default: crop, or as the data was prepared]",
        choices=FITS,
        group="Training",
    )
    alpha: bool = option(
        False,
        "keep transparency: train on RGBA images, and generate them; without it, transparency is drawn over white",
        group="Training",
    )
    augment: str = option(
        "none",
        "augmentation of what the discriminator sees, against overfitting to small data sets: diffaugment (Zhao et al. "
        "2020) or ada, which adapts its strength (Karras et al. 2020)",
        choices=("none", "diffaugment", "ada"),
        group="Training",
    )
    ada_target: float = option(
        0.6,
        "mean sign of the discriminator's scores of real images at which ada keeps its strength",
        above=-1,
        below=1,
        when={"augment": "ada"},
        unless="augment_p",
        group="Training",
    )
    augment_p: float | None = option(
        None,
        "fixed probability of each transformation [default: adapted]",
        min=0,
        max=1,
        when={"augment": "ada"},
        group="Training",
    )
    freeze_d: int = option(
        0,
        "with --from, don't train the first N blocks of the discriminator, those nearest to the image (FreezeD, Mo et "
        "al. 2020); in a model that grows, they are those of the last N resolutions",
        min=0,
        group="Training",
    )
    seed: int = option(0, "seed of weights, order of images and noise", min=0, max=2**31 - 1, group="Training")
    max_skips: int = option(
        20,
        "stop after more than this many consecutive updates were skipped because of a non-finite loss or gradient",
        min=0,
        group="Training",
    )
    retry: int = option(
        0,
        "how often to restart from the last checkpoint with another seed after training diverges",
        min=0,
        group="Training",
    )
    tick: float = option(
        4.0, "kimg between reports: losses, curves and samples", above=0, group="Reports and checkpoints"
    )
    snapshot: int = option(10, "ticks between checkpoints", min=1, group="Reports and checkpoints")
    keep: int = option(2, "how many checkpoints to keep", min=1, group="Reports and checkpoints")
    keep_best: str | None = option(
        None,
        "also keep the checkpoint with the lowest value of this entry of stats.jsonl, e.g. "
        "losses/generator/adversarial; '' disables this "
        "[default: the checkpoint with the best first metric of --evaluate, if --evaluate-every is given]",
        group="Reports and checkpoints",
    )
    evaluate_every: float | None = option(
        None, "kimg between measurements of --evaluate; 0: none", min=0, group="Evaluation"
    )
    evaluate: str = option(
        "fid",
        "metrics to track, e.g. fid,pr; `ganzoo metrics` lists them",
        when="evaluate_every",
        group="Evaluation",
    )
    evaluate_samples: int = option(
        2000,
        "images to generate for the metrics; for translation, per pair of domains",
        min=10,
        max=MAX_IMAGES,
        when="evaluate_every",
        group="Evaluation",
    )
    evaluate_real: int | None = option(
        None,
        "maximum number of real images for the metrics; fewer give a higher FID [default: as many as "
        "--evaluate-samples, but at least 1,000]",
        min=10,
        max=MAX_IMAGES,
        when="evaluate_every",
        group="Evaluation",
    )
    device: str = option("auto", "where to train", choices=("auto", "cpu", "cuda"), group="Machine")
    precision: str = option(
        "tf32",
        "precision of convolutions: TF32 (float32 on the CPU), float32, or bfloat16 with float32 accumulation (amp, "
        "which on the CPU needs AMX)",
        choices=("tf32", "fp32", "amp"),
        group="Machine",
    )
    workers: int = option(2, "threads that decode images", min=1, max=64, group="Machine")


# Option names of other programs, for users who know them (see `Model.option_hints`).
_KIMG = "--kimg, the length in thousands of images: iterations times images per update / 1000"
OPTION_HINTS = {
    "lr": "--learning-rate",
    "g_lr": "--learning-rate",
    "d_lr": "--learning-rate",
    "glr": "--learning-rate",
    "dlr": "--learning-rate",
    "b1": "--beta1",
    "b2": "--beta2",
    "batch_size": "--batch",
    "batch_size_per_gpu": "--micro-batch",
    "batch_gpu": "--micro-batch",
    "mirror": "--flip",
    "preprocess": "--fit",
    "aug": "--augment",
    "diff_aug": "--augment diffaugment",
    "ada_length": "Omit it: it is 500 kimg.",
    "metrics": "--evaluate with --evaluate-every",
    "snap": "--snapshot",
    "fp32": "--precision fp32",
    "total_iters": _KIMG,
    "max_iters": _KIMG,
    "max_iter": _KIMG,
    "iterations": _KIMG,
    "niter": _KIMG,
    "steps": _KIMG,
    "epochs": "--kimg, the length in thousands of images: epochs times images of the data set / 1000",
    "n_epochs": "--kimg, the length in thousands of images: epochs times images of the data set / 1000",
    "img_size": "--size",
    "image_size": "--size",
    "resolution": "--size",
    "latent_dim": "--latent",
    "code_size": "--latent",
    "nz": "--latent",
    "z_dim": "--latent",
    "channels": "Omit it: the data determines whether images are grey or RGB; --alpha is for RGBA.",
    "augpipe": "Omit it: --augment ada has pixel blitting, geometry and colour.",
    "p": "--augment-p",
    "target": "--ada-target",
    "DiffAugment": "--augment diffaugment",
    "num_domains": "Omit it: domains are the folders of --data.",
    "dataroot": "--data",
    "dataset": "--data",
    "data_dir": "--data",
    "path": "--data",
    "train_img_dir": "--data, with the folder that holds train and val",
    "val_img_dir": "--data, with the folder that holds train and val",
    "expname": "--experiments, the folder of all runs; each gets a numbered folder there",
    "exp_name": "--experiments, the folder of all runs; each gets a numbered folder there",
    "name": "--experiments, the folder of all runs; each gets a numbered folder there",
    "outdir": "--experiments, the folder of all runs",
    "checkpoint_dir": "--experiments, the folder of all runs",
    "sample_dir": "--experiments, the folder of all runs",
    "result_dir": "--experiments, the folder of all runs",
    "freezed": "--freeze-d",
    "finetune": "--from, with the run or checkpoint to start from",
    "pretrained": "--from, with the run or checkpoint to start from",
    "resume_pkl": "--from, with the run or checkpoint to start from",
    "resume_iter": "--resume latest; it continues from the newest checkpoint",
    "ckpt": "--resume, with a run; `ganzoo import` converts another program's checkpoint to a run",
    "continue_train": "--resume latest",
    "mode": "Omit it: `ganzoo train` trains, `ganzoo generate` samples, `ganzoo evaluate` measures.",
    "num_workers": "--workers",
    "n_cpu": "--workers",
    "gpu": "--device cuda",
    "cuda": "--device cuda",
    "gpus": "--device cuda; `mpirun -np N ganzoo train` uses several",
    "print_every": "--tick, in thousands of images",
    "sample_every": "--tick, in thousands of images",
    "sample_interval": "--tick, in thousands of images",
    "save_every": "--snapshot, in ticks",
    "eval_every": "--evaluate-every, in thousands of images",
    "ema_decay": "--ema",
}
