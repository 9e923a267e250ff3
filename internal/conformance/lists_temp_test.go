package conformance

var envelopeLists = map[string]runner{}
var messageLists = map[string]runner{}
var conversationLists = map[string]runner{}
