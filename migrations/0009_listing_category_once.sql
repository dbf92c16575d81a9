-- no-transaction
-- `listing_by_category` holds this too. Not waited for by whoever reads the list meanwhile.
drop index concurrently if exists listing_category;
