"""Where frames come from: files, images, arrays, cameras and network streams, all behind one `Source`."""
