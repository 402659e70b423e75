"""The tasks: a LightningModule for each kind of pretraining and for each fine-tuning task."""
