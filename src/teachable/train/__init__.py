"""Training: pretraining the embedded base model, and supervised fine-tuning on selected examples."""
