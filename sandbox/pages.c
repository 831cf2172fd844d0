#include "server.h"
Invoice *page_invoice(const Request *r){(void)r;return NULL;}
void page_answer(Request *r){r->answer.status=200;}
void home_answer(Request *r){r->answer.status=200;}
