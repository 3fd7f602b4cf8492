"""The columns of the evaluation's tables, the reference rows and the age bands; see docs/reference/evaluation.md."""

import math

STANDARD, TRUTH = "standard", "truth"  # reference rows of a simulated child
AGE_BANDS = (("under 2 years", 2.0), ("2 to 5 years", 6.0), ("6 to 11 years", 12.0), ("12 years and over", math.inf))
AGE_UNKNOWN = "age unknown"

IDENTIFIERS = (
    "patient", "study", "cohort", "scanner", "age_years", "age_band", "view", "method",
    "reference", "regions_from", "data_range_counts",
)  # fmt: skip
SETS = ("fid", "kid", "sam_frechet")  # distances between sets of pictures
WHOLE_SET = tuple(f"{name}_standard" for name in SETS)  # one number for all patients of a method
NUMBERS = (
    "psnr_truth", "psnr_truth_frame", "ssim_truth", "ms_ssim_truth",
    "psnr_standard", "psnr_standard_frame", "ssim_standard", "ms_ssim_standard",
    "mse_corrected", "psnr_corrected", "ceiling_standard", "deviance_standard",
    "count_bias", "bone_bias", "kidneys_bias", "bladder_bias", "soft_tissue_bias",
    "lesions", "lesion_contrast", "lesion_cnr", "lesions_missed", "false_hot_spots",
    "noise_cov", "noise_frequency", "added_blur_mm",
    "consistency_deviance", "consistency_z", "consistency_z_bone", "consistency_z_kidneys",
    "consistency_z_bladder", "consistency_z_soft_tissue", "unsupported_share",
    "lpips_truth", "lpips_standard", *WHOLE_SET, "seconds",
)  # fmt: skip
LESION_COLUMNS = (
    "patient", "study", "cohort", "scanner", "age_years", "age_band", "view", "method",
    "lesion", "region", "row", "column", "radius_mm", "true_contrast", "recovery", "cnr", "missed",
)  # fmt: skip


def age_band(years: float) -> str:
    """Name of the age band; NaN is 'age unknown'."""
    if math.isnan(years):
        return AGE_UNKNOWN
    return next(name for name, below in AGE_BANDS if years < below)
