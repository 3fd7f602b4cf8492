"""Every metric in words: name, unit, direction, digits, definition. One place for tables and the report."""

from dataclasses import dataclass

from scintiflow.evaluation.fidelity import EYE_SIGMA_MM, HOT_SPOT_EXCESS, LESION_MARGIN, MISSED_BELOW, RING


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
    "count_bias": Definition(
        "count bias, body", "%", "zero", 2,
        "Sum of restored counts / sum of reference counts − 1 inside the body. The reference is the truth where it "
        "is known, else the standard scan.", 100.0,
    ),
    "bone_bias": Definition(
        "count bias, bone", "%", "zero", 2, "The same inside bone.", 100.0,
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
        f"Known lesions with less than {MISSED_BELOW:.0%} of their true contrast, both views together.",
    ),
    "false_hot_spots": Definition(
        "false hot spots", "per view", "lower", 2,
        f"Connected spots in bone, more than {LESION_MARGIN:g} radii from every known lesion, where the restoration "
        f"exceeds the truth by more than {HOT_SPOT_EXCESS:.0%} after both are blurred by {EYE_SIGMA_MM:g} mm: the "
        "restoration shows a lesion that the child does not have.",
    ),
}  # fmt: skip

METHODS = {
    "restored": "Restored (f^IR1)",
    "identity": "Rapid scan × k",
    "gaussian": "Gaussian filter",
    "bm3d": "Anscombe + BM3D",
    "standard": "Standard scan",
    "truth": "Truth (ceiling)",
}
METHOD_NOTES = {
    "restored": "the first network alone, as it runs at inference",
    "identity": "the measured counts, scaled: no restoration",
    "gaussian": "width chosen on validation patients",
    "bm3d": "variance-stabilised, exact unbiased inverse",
    "standard": "a real scan at standard speed against its own truth",
    "truth": "the perfect restoration",
}
HEADLINE = (
    "psnr_truth", "psnr_corrected", "psnr_standard", "ssim_truth", "ssim_standard", "lpips_standard", "fid_standard",
    "count_bias", "bone_bias",
)  # fmt: skip
LESION_METRICS = ("lesions", "lesion_contrast", "lesion_cnr", "lesions_missed", "false_hot_spots")
SUBGROUP_METRICS = ("psnr_truth", "psnr_corrected", "count_bias", "bone_bias", "lesion_contrast", "false_hot_spots")
