"""What keeps a store alive on a disk: the LMDB environment, its files, forks, sync points."""
