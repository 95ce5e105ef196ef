"""Pages of CRM connections and their pushes."""
