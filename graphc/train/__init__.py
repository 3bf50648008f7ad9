"""``python -m graphc train``: networks trained on images of digits or clothes by one compiled step.

`options` reads the command line, `images` and `models` give what is trained on and what is trained, `training` holds
the steps and the checkpoint, `report` shows what came of it, `command` goes through all of it.
"""
