"""Every metric in words: name, unit, direction, digits, definition. One place for tables and the report."""

from dataclasses import dataclass

from scintiflow.evaluation.consistency import WINDOW_MM
from scintiflow.evaluation.fidelity import EYE_SIGMA_MM, LESION_MARGIN, RING
from scintiflow.evaluation.noise import PATCH_MM
from scintiflow.evaluation_folder import PAIRED


@dataclass(frozen=True)
class Definition:
    """How a metric is shown and what it means. `scale` multiplies the number before it is shown."""

    name: str
    unit: str
    better: str  # 'higher', 'lower', 'zero', 'one' or '' (no direction)
    digits: int
    words: str
    scale: float = 1.0


METRICS: dict[str, Definition] = {
    "psnr_truth": Definition(
        "PSNR vs truth", "dB", "higher", 2,
        "10 log10(L² / mean squared error) inside the body against the expected counts of the simulated child in the "
        "rapid scan's pose, scaled to the standard speed. L is the declared data range. The headline where truth is "
        "known: it has no noise ceiling.",
    ),
    "psnr_corrected": Definition(
        "PSNR, noise-corrected", "dB", "higher", 2,
        "An estimate of the PSNR against the unknown truth from a noisy standard scan S: the mean counts of S are "
        "subtracted from the mean squared error, because Poisson noise adds exactly that. Errors are averaged over "
        "patients before the decibels are taken. It needs a child that did not move: misregistration adds to the "
        "error and lowers every method alike.",
    ),
    "psnr_standard": Definition(
        "PSNR vs standard scan", "dB", "higher", 2,
        "The same against the noisy standard scan, aligned by whole pixels. The perfect restoration scores only the "
        "ceiling, and good methods lie within tenths of a decibel of it: never read it alone.",
    ),
    "ceiling_standard": Definition(
        "ceiling of PSNR vs standard", "dB", "", 2,
        "10 log10(L² / mean counts of the standard scan in the body): what the exact truth would score, in register.",
    ),
    "psnr_truth_frame": Definition(
        "PSNR vs truth, whole frame", "dB", "higher", 2,
        "For comparison with publications only: empty background inflates it by several decibels.",
    ),
    "psnr_standard_frame": Definition(
        "PSNR vs standard, whole frame", "dB", "higher", 2,
        "For comparison with publications only: empty background inflates it by several decibels.",
    ),
    "ssim_truth": Definition(
        "SSIM vs truth", "", "higher", 3,
        "Structural similarity (Wang 2004, Gaussian window of 1.5 pixels, data range L), its map averaged inside the "
        "body.",
    ),
    "ssim_standard": Definition(
        "SSIM vs standard scan", "", "higher", 3,
        "The same against the noisy standard scan; the row 'truth' shows the highest value within reach.",
    ),
    "ms_ssim_truth": Definition(
        "MS-SSIM vs truth", "", "higher", 3,
        "Multi-scale structural similarity (Wang 2003, five scales, data range L) of the box around the body: its "
        "coarse scales know no mask.",
    ),
    "ms_ssim_standard": Definition(
        "MS-SSIM vs standard scan", "", "higher", 3, "The same against the noisy standard scan.",
    ),
    "deviance_standard": Definition(
        "Poisson deviance vs standard", "per pixel", "lower", 3,
        "Twice the log-likelihood ratio of the standard scan's counts under the restored mean; the truth itself "
        "scores about 1.",
    ),
    "lpips_truth": Definition(
        "LPIPS vs truth", "", "lower", 3,
        "Learned perceptual distance (AlexNet), linear window 0 to L, cropped to the body.",
    ),
    "lpips_standard": Definition(
        "LPIPS vs standard scan", "", "lower", 3,
        "The same against the standard scan. It rewards noise texture.",
    ),
    "fid_standard": Definition(
        "FID vs standard scans", "", "lower", 1,
        "Fréchet distance of Inception features between all restored and all standard views. With fewer than 2,048 "
        "views its covariance is rank-deficient: no interval, no conclusion.",
    ),
    "kid_standard": Definition(
        "KID vs standard scans", "", "lower", 4,
        "Kernel distance (unbiased, cubic kernel) of the same features; its interval draws patients. Read it against "
        "its floor: standard scans against themselves with new Poisson noise. It rewards noise texture.",
    ),
    "sam_frechet_standard": Definition(
        "Fréchet, SAM encoder", "", "lower", 3,
        "Fréchet distance between the tokens that the adapted SAM's encoder sees inside the body, of restored and of "
        "standard scans. It stands beside FID where Inception's weights are absent; it is not FID and compares with "
        "no other project's number, nor with another SAM. It rewards noise texture.",
    ),
    "count_bias": Definition(
        "count bias, body", "%", "zero", 2,
        "Sum of restored counts / sum of reference counts − 1 inside the body. The reference is the truth where it "
        "is known, else the standard scan.", 100.0,
    ),
    "bone_bias": Definition(
        "count bias, bone", "%", "zero", 2, "The same inside bone.", 100.0,
    ),
    "kidneys_bias": Definition("count bias, kidneys", "%", "zero", 2, "The same inside the kidneys.", 100.0),
    "bladder_bias": Definition("count bias, bladder", "%", "zero", 2, "The same inside the bladder.", 100.0),
    "soft_tissue_bias": Definition(
        "count bias, soft tissue", "%", "zero", 2, "The same inside the rest of the body.", 100.0,
    ),
    "lesion_contrast": Definition(
        "lesion contrast recovery", "", "one", 3,
        "For each known lesion (disc mean − ring mean) of the restoration / the same of the truth; 1 is perfect. The "
        f"disc has the lesion's radius at half height; the ring lies {RING[0]:g} to {RING[1]:g} radii away, in bone "
        "where there is enough of it. Lesions whose true contrast is below 10% are left out.",
    ),
    "lesion_cnr": Definition(
        "lesion contrast-to-noise", "", "higher", 2,
        "(Disc mean − ring mean) / standard deviation of (restoration − truth) in the ring.",
    ),
    "lesions": Definition("known lesions", "per child", "", 2, "Lesion appearances scored, both views together."),
    "lesions_missed": Definition(
        "missed lesions", "per child", "lower", 2,
        "Lesions with less than the stated share of their contrast (evaluate.missed_below), both views together: "
        "known lesions of a simulated child, hot spots of the standard scan of a real one.",
    ),
    "false_hot_spots": Definition(
        "invented lesions", "per view", "lower", 2,
        f"Connected spots in bone, more than {LESION_MARGIN:g} radii from every known lesion, where the restoration "
        f"exceeds the reference by more than the stated share (evaluate.invented_above) after both are blurred by "
        f"{EYE_SIGMA_MM:g} mm: the restoration shows a lesion that the child does not have. Against a real child's "
        "noisy standard scan it must also exceed that scan's noise.",
    ),
    "noise_cov": Definition(
        "noise in soft tissue", "%", "", 1,
        f"Coefficient of variation in {PATCH_MM:g} mm squares of uniform soft tissue, a plane taken away. Less is "
        "smoother, not better: the truth's own value is what anatomy alone gives.", 100.0,
    ),
    "noise_frequency": Definition(
        "mean noise frequency", "1/mm", "", 3,
        "Mean frequency of the noise power spectrum in those squares. White noise is high; low frequencies are "
        "blotches that look like lesions.",
    ),
    "added_blur_mm": Definition(
        "added blur", "mm FWHM", "lower", 2,
        "Width of the Gaussian that brings the reference nearest to the restoration within 12 mm of bone: what the "
        "restoration costs in resolution. Against a noisy standard scan the noise is taken out of the comparison, "
        "and the movement between the scans adds to it.",
    ),
    "consistency_deviance": Definition(
        "deviance of the rapid scan", "× expected", "one", 3,
        "Poisson deviance of the rapid scan's counts under restored / k inside the body, divided by what Poisson "
        "counts of that mean give on average (computed exactly, not the chi-square limit). It needs no truth. The "
        "truth gives 1, a copy of the noise 0; above 1 the counts contradict the picture.",
    ),
    "consistency_z": Definition(
        "count consistency", "s.d.", "zero", 1,
        "The same as a z-score; the truth gives 0 ± 1. A picture made from these very counts may fall below; far "
        "above 0 is an alarm.",
    ),
    **{
        f"consistency_z_{part}": Definition(
            f"count consistency, {words}", "s.d.", "zero", 1, f"The same inside the {words}."
        )
        for part, words in (
            ("bone", "bone"), ("kidneys", "kidneys"), ("bladder", "bladder"), ("soft_tissue", "soft tissue"),
        )
    },
    "unsupported_share": Definition(
        "unsupported by counts", "% of body", "", 3,
        f"Share of the body where the counts in a {WINDOW_MM:g} mm window lie farther from what the picture claims "
        "than the stated number of standard deviations (evaluate.unsupported_beyond), by the exact Poisson "
        "distribution.", 100.0,
    ),
}  # fmt: skip

METHODS = {
    "restored": "Restored (f^IR1)",
    PAIRED: "Restored by run A",
    "identity": "Rapid scan × k",
    "gaussian": "Gaussian filter",
    "nlm": "Anscombe + non-local means",
    "bm3d": "Anscombe + BM3D",
    "unet": "Plain U-Net",
    "first_alone": "f^IR1 trained alone",
    "champion": "Current champion",
    "standard": "Standard scan",
    "truth": "Truth (ceiling)",
}
METHOD_NOTES = {
    "restored": "the first network alone, as it runs at inference",
    PAIRED: "the run that this one is compared with",
    "identity": "the measured counts, scaled: no restoration",
    "gaussian": "width chosen on validation patients",
    "nlm": "variance-stabilised, exact unbiased inverse",
    "bm3d": "variance-stabilised, exact unbiased inverse",
    "unet": "same data, steps and losses, no cascade, no masks",
    "first_alone": "the same network, data and steps without f^IR2, masks or distillation",
    "champion": "the registered model that this one would replace",
    "standard": "a real scan at standard speed against its own truth",
    "truth": "the perfect restoration",
}
HEADLINE = (
    "psnr_truth", "psnr_corrected", "psnr_standard", "ssim_truth", "ms_ssim_truth", "ssim_standard",
    "lpips_standard", "fid_standard", "kid_standard", "sam_frechet_standard",
)  # fmt: skip
COUNT_METRICS = ("count_bias", "bone_bias", "kidneys_bias", "bladder_bias", "soft_tissue_bias")
LESION_METRICS = ("lesions", "lesion_contrast", "lesion_cnr", "lesions_missed", "false_hot_spots")
TEXTURE_METRICS = ("noise_cov", "noise_frequency", "added_blur_mm")
CONSISTENCY_METRICS = (
    "consistency_deviance", "consistency_z", "consistency_z_bone", "consistency_z_kidneys", "consistency_z_bladder",
    "consistency_z_soft_tissue", "unsupported_share",
)  # fmt: skip
SUBGROUP_METRICS = (
    "psnr_truth", "psnr_corrected", "count_bias", "bone_bias", "lesion_contrast", "lesions_missed", "false_hot_spots",
    "consistency_z",
)  # fmt: skip
