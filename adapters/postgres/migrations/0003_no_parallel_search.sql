-- A search reads some hundred rows. Postgres guesses that the functions of PostGIS make it worth a second process, whose
-- start takes longer than the whole search.
ALTER TABLE listings SET (parallel_workers = 0);
