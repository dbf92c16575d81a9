-- no-transaction
-- `listing_by_category` holds this too. Not waited for by whoever reads the list meanwhile.
drop index concurrently listing_category;
