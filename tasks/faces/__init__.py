"""Faces: each picture is searched for faces once; each method crops them."""
