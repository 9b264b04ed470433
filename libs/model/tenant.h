/* tenant.h: names of tenants, as the X-Scope-OrgID header carries them.
 *
 * The rules are Mimir's, since the header is: 1 to 150 bytes of letters, digits and !-_.*'(), and
 * neither "." nor "..". So a name is safe in paths, subjects and texts.
 */
#ifndef MRD_MODEL_TENANT_H
#define MRD_MODEL_TENANT_H

#include "base/bytes.h"

#define MRD_TENANT_HEADER "X-Scope-OrgID"
#define MRD_TENANT_DEFAULT "anonymous" /* of a request without the header */

enum { MRD_TENANT_SIZE_MAX = 150 };

/* The tenant that a header names (data is NULL if there was none). MRD_E_INVALID says the rules. */
MRD_MUST_CHECK enum mrd_status mrd_tenant_of_header(struct mrd_bytes header, struct mrd_bytes *out,
                                                    struct mrd_error *err);

#endif
