"""Pages and tables of models and experiments; those of crops and datasets stand in `tasks.pages`."""
