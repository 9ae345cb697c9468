"""The check of a dataset: unreadable files, copies, labels, sizes and balance.

`check` looks at a dataset's files for `sightline check`; `audit` tells the same in brief of images that are loaded.
"""
