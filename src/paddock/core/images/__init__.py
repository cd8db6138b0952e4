"""Names of images, and an image's way from one engine to another without the layers that are there already."""
