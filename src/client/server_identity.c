#include "client/server_identity.h"

#include <string.h>

#include "base/escape.h"
#include "base/events.h"

void server_identity_log(enum log_level level, const struct net_address *peer,
                         const struct opening_answer *answer)
{
    char address[NET_ADDRESS_TEXT], shown[2 * IDENTITY_ANSWER_TEXT];

    log_event(EVENT_SERVER_IDENTITY(level), net_address_text(peer, address),
              escape_bytes(shown, sizeof shown, answer->text, strlen(answer->text)));
}
