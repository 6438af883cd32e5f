"""The demo: the whole service on real parts, from an empty machine to a page with every image beside its overlay."""
