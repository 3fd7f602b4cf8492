"""What training sees: packed studies, the manifest, the stable split, thinning, registration, patches."""
