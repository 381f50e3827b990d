"""A model repository on the Hugging Face Hub: export, card, upload."""
