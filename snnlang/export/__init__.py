"""Foreign forms: what a program becomes in another tool, or a located refusal."""
