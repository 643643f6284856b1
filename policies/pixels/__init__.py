"""What can hide in or beside the pixels: text that is burned in, bits that belong to no pixel, comments in streams.

    scan ──PixelData──▶ treatment ──▶ held │ ranges to blank │ bits to clear │ regions to black out │ frames to rewrite

Nothing here decodes an image to look at it. What cannot be vouched for is held by name.
"""
