"""Run folders: file names, the content of each JSON file, the selected epoch, reloading of images, lists, checks."""
