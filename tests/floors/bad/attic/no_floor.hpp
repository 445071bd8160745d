// The floors test must report that this folder has no floor.
