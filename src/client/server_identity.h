/* server_identity: which server answered the question for its identity (io/opening.h), in
 * the log. */
#ifndef ECHOLAB_SERVER_IDENTITY_H
#define ECHOLAB_SERVER_IDENTITY_H

#include <stdbool.h>

#include "io/net.h"
#include "io/opening.h"

/* What is wrong when a server's answer is none. */
#define SERVER_IDENTITY_WRONG "its first line is no identity"

/* Log a complete answer of the server at `peer`; of a load's many at debug. */
void server_identity_log(bool is_load, const struct net_address *peer,
                         const struct opening_answer *answer);

#endif
