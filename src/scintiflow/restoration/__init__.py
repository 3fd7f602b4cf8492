"""The cascade f^IR1 -> f^IR2: networks, the three semantic modules, training, and the restorer that ships."""
