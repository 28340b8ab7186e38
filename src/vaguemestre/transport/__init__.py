"""A message's way in and out: envelope, reception, submission, queue, delivery, relay, bounces."""
