"""jaxwin: when does a diffusion model decide each feature of what it generates?"""

__version__ = "0.1.0"
