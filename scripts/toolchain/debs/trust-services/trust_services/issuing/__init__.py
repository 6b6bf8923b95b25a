"""The trust services CA: takes orders for X-Road certificates, decides, signs, lints, records and releases."""
