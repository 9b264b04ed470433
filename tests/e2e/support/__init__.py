"""What the end-to-end tests share.

remote_write  a remote-write 1.0 client: encoding and sending
fleet         background writers that behave as Prometheus does when it is refused
ledger        what was sent and what became of it; judges what a query returns
api           the query API
raw           requests that no HTTP client would send
"""
