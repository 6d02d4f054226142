"""Fine-tuning: a trained potential goes on with a few frames of other data.

The section ``finetune`` of a configuration names the base and the method; all else is a training
run as any other. See :class:`ladera.training.finetune.start.FromBase`.
"""
