"""Run folders: `folder` knows every file name, `images` loads a run's images again, `listing` lists runs."""
