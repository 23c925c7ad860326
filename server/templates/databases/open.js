// The token is in the fragment of the address, which browsers do not send. The script removes it from the address bar
// and sends it once.
"use strict";
const token = decodeURIComponent(location.hash.slice(1));
if (token) {
  history.replaceState(null, "", location.pathname + location.search);
  document.getElementById("token").value = token;
  document.getElementById("begin").submit();
}
