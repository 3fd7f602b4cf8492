"""What the report's page says in other words where it is about pictures and no scan.

The page is written for scans. Of pictures it leaves out what is said of counts, bodies and children, and what is left
speaks of a poor and a good picture.
"""

SAID_OF_PICTURES = (
    ("Rapid scan × k", "Poor picture"),
    ("the measured counts, scaled: no restoration", "as it came: no restoration"),
    ("standard scan", "good picture"),
    ("rapid scan", "poor picture"),
    ("body count bias", "bias of the mean level"),
    ("count bias, body", "bias of the mean level"),
    ("Seconds per scan", "Seconds per picture"),
)

PICTURE_DEFINITIONS = {
    "PSNR (dB)": "10 log10(L² / mean squared error) against the good picture, laid over the poor one by whole "
    "pixels: the whole frame and all colours together.",
    "SSIM": "Structural similarity (Wang 2004, Gaussian window of 1.5 pixels) against the good picture: its map "
    "averaged over the frame, then over the colours.",
    "MS-SSIM": "Multi-scale structural similarity (Wang 2003, five scales), averaged over the colours.",
    "bias of the mean level (%)": "Sum of the restored levels / sum of the good picture's levels − 1.",
}


def in_words_of_pictures(page: str) -> str:
    """The page with `SAID_OF_PICTURES`; what is embedded in base64 has no spaces and stays as it is."""
    for of_scans, of_pictures in SAID_OF_PICTURES:
        page = page.replace(of_scans, of_pictures)
    return page
