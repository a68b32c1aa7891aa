"""Files of images -> RGB -> model input, with Pillow."""
