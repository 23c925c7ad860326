// The token is in the address's fragment, which browsers send nowhere: it is taken out of sight and sent once.
"use strict";
const token = decodeURIComponent(location.hash.slice(1));
if (token) {
  history.replaceState(null, "", location.pathname + location.search);
  document.getElementById("token").value = token;
  document.getElementById("begin").submit();
}
