/* character: in what ways a server answers otherwise than an echo server, in words.
 *
 * A few messages show whether it speaks first, puts something around each message, answers
 * a line at a time or one message per connection, serves one connection at a time. None of
 * it decides about the server: that is what the checks are for. */
#ifndef ECHOLAB_CHARACTER_H
#define ECHOLAB_CHARACTER_H

#include <stdbool.h>
#include <stddef.h>

#include "examine/talk.h"

#define CHARACTER_TRAITS_MAX 12
#define CHARACTER_TRAIT_TEXT 80

struct character {
    bool is_reachable; /* it could be connected to */
    bool is_answering; /* some bytes came back */
    bool is_exact;     /* a line came back exactly, and nothing else */
    size_t count;
    char traits[CHARACTER_TRAITS_MAX][CHARACTER_TRAIT_TEXT];
};

/* Add a trait; beyond the maximum it is dropped. */
void character_add(struct character *character, const char *before, const char *text);

/* Find the traits of the server. It takes at most four timeouts of the target. */
void character_find(struct character *character, const struct talk_target *target);

#endif
