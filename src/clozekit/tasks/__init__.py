"""What is learnt: a LightningModule for pretraining and one for each fine-tuning task."""
