"""Tables of records in Parquet files, and shards of pictures in tars."""
