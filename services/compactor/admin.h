/* admin.h: what the people who run the region ask of a compactor, on its operations port:
 *
 *     GET  /quarantine                    blocks that are bad, and why (JSON); as of the last look, seconds ago
 *     GET  /erasures                      requests to erase that are under way and what they wait for, and receipts (JSON)
 *     POST /erasures/verify?id=ID         holds a receipt to object storage; GET /erasures says what came of it
 *     POST /quarantine/release?block=ID   lets one back in: it is tried again, and comes back if it is still bad
 *     POST /scrub                         reads all blocks now, whatever compactor.scrub_interval says
 *     POST /sweep                         removes now what nobody needs
 *     POST /cool                          puts old blocks into the colder storage class now
 *     POST /expire                        takes what is out of retention out of the catalog now
 *
 * The answer to a POST is 202: it will be done, and /metrics and the log say how it went.
 *
 * Threads: the HTTP server's; nothing waits.
 */
#ifndef CMP_ADMIN_H
#define CMP_ADMIN_H

#include "compactor/cooling.h"
#include "compactor/erasing.h"
#include "compactor/expiring.h"
#include "compactor/merging.h"
#include "compactor/tidying.h"
#include "http/server.h"

struct cmp_admin {
    struct cmp_jobs *jobs;
    struct cmp_merging *merging;
    struct cmp_tidying *tidying;
    struct cmp_expiring *expiring;
    struct cmp_erasing *erasing;
    struct cmp_cooling *cooling;
};

/* Before the server starts. *admin is kept until it stops. */
void cmp_admin_mount(struct cmp_admin *admin, struct mrd_http_server *server);

#endif
