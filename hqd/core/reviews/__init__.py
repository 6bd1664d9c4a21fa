"""What people do on a review, and what follows: words, replies, landing, merges, audits, earned autonomy."""
