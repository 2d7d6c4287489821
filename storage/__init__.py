"""The language of the disk: records, paths, tables, shards, dataset and model versions. Imports none of ours."""
