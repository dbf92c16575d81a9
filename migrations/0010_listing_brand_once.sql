-- no-transaction
-- `listing_by_brand` holds this too.
drop index concurrently if exists listing_brand;
