"""What happens to a frame, in this order: readers, crops, clips or streams, scores."""
