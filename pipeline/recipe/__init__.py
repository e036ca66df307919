"""Recipes: files of a few bytes per photo from which a dataset can be made again, and compared with the first one."""
